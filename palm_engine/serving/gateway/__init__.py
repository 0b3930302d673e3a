"""One address for applications: the member that suits a request's weights answers it."""
