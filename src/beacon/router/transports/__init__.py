"""How providers are spoken to: one module a transport."""
