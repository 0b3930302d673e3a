"""What users prefer and what was asked, kept in a database: SQLite, or PostgreSQL by its URL."""
