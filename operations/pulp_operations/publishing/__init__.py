"""Writing a publication from a version of a repository. It reads records and metadata of our own, never a feed's."""
