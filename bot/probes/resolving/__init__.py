"""Names and resolvers: what is asked of DNS, and how answers read."""
