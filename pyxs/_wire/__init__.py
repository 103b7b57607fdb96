"""The wire format: packets, requests and replies. The client and the in-memory daemon use it."""
