"""What proposes: the policy and how it learns."""
