"""The bundle on disk: reading and writing the folder, its schema, its validation."""
