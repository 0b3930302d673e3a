"""Policies at work: backends, the loaded model, the queue, routing, export, gateway, profiles."""
