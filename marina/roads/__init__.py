"""Other roads to production from the same specs and archives: a development server, batches of many inputs, exports."""
