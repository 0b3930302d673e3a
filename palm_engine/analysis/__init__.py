"""The numbers behind pages and reports, as frozen dataclasses."""
