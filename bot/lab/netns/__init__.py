"""The namespace lab: a scenario file becomes namespaces, real servers, real agents, and a verdict to judge."""
