"""Policies at work: backends, the loaded model, the queue, routing and export."""
