"""/v1/models: the models that this server answers for."""

ROUTES = []
