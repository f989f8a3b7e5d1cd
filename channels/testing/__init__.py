"""Small real stand-ins for what lies outside our machines: a text-message provider and a mail server, on loopback."""
