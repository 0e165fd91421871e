"""All hand-built networks, family by family."""

from tests.graph import (
    family_kernels,
    family_merging,
    family_nested,
    family_norms,
    family_operations,
    family_passing,
    family_reshaping,
    family_splitting,
    networks,
)

FAMILIES = (
    networks,
    family_kernels,
    family_merging,
    family_nested,
    family_norms,
    family_operations,
    family_passing,
    family_reshaping,
    family_splitting,
)
ALL = {name: build for family in FAMILIES for name, build in family.NETWORKS.items()}
