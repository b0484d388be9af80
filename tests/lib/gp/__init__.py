"""What the tests over sockets share: gatepost itself as a process, and the parties around it as actors."""
