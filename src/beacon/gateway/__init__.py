"""The router as a service: OpenAI's API in and out, the mailbox, and one place for every provider's limits."""
