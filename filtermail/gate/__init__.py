"""The gate: which messages a relay carries. Pure: octets in, a refusal or nothing out."""
