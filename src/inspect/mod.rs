//! What namespaces exist on the machine, whose they are and what keeps them alive.
