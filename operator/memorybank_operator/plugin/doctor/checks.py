"""All checks, what others depend on first."""

from __future__ import annotations

from memorybank_operator.plugin.doctor import cluster, needs, pods, words
from memorybank_operator.plugin.doctor.findings import Check

CHECKS: tuple[Check, ...] = (
    cluster.kinds_are_known,
    cluster.an_operator_runs,
    cluster.somebody_leads,
    cluster.banks_are_looked_at,
    cluster.banks_have_names_of_their_own,
    needs.secrets_are_there,
    needs.volumes_are_provided,
    needs.doors_are_served,
    needs.other_projects_are_there,
    pods.pods_are_made,
    pods.pods_find_a_node,
    pods.containers_run,
    words.banks_are_ready,
    words.keys_open,
    words.points_and_restores_succeed,
)
