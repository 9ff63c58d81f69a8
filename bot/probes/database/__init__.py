"""The first words of database servers."""
