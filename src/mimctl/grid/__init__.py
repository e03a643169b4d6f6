"""The electrical tree: operators, flow, sensitivities. Pure."""
