"""What can be run: each module is a Prefect flow, and most are a command as well."""
