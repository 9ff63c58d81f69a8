"""Kubernetes and CoreDNS."""
