"""The dashboard: what Streamlit needs, over an engine that knows nothing of it."""
