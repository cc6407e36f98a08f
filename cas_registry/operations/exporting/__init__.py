"""What an export consists of, and the forms that it takes on disk: a folder, an archive, an OCI layout, an MLflow model."""
