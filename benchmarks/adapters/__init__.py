"""Turn public data sets into the data contract."""
