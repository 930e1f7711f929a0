//! The one way to start or enter namespaces.
