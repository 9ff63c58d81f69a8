"""The night of the story on loopback: 127.0.0.0/8 stands for two regions, an office, a cloud and a vendor."""
