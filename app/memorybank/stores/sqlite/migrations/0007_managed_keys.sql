-- Whether somebody outside, such as the Kubernetes operator, says which keys of this mark are valid.
ALTER TABLE keys ADD COLUMN managed INTEGER NOT NULL DEFAULT 0;
