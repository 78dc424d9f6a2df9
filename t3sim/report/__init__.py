"""Results for people and programs: tables, CSV, JSON, and result folders."""
