"""Grafana's dashboards, one module each; `python -m scripts.dashboards` writes them into the chart
of the operator.
"""
