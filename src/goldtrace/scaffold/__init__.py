"""Lay down a first run, workflows and settings in a user's repository: plan, show, apply."""

from goldtrace.scaffold.change import Action, Change, Plan, apply
from goldtrace.scaffold.plan import Request, plan

__all__ = ["Action", "Change", "Plan", "Request", "apply", "plan"]
