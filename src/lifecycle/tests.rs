//! Tables of what happens when, and random sequences against what must always hold.
