"""What one can ask for: each module is a flow and a command."""
