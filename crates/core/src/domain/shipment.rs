//! Shipments.
