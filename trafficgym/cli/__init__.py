"""The `trafficgym` command, one file a subcommand."""
