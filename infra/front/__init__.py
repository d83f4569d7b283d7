"""ClickHouse's HTTP interface over the chDB of this process, for tools of others."""
