"""The mailbox that agent and gateway offer: work accepted once by its key, its outcome kept to be read."""
