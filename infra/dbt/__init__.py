"""A dbt package over the database; `python -m leadstream.infra.dbt` writes its sources."""
