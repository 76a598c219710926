"""Message Batches: durable work, run through messages/."""
