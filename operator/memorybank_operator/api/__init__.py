"""The resource kinds as typed models, and what is generated from them."""
