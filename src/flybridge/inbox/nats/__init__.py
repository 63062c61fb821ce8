"""The inbox on NATS JetStream."""
