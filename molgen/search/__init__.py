"""What is proposed, what of it is scored, and what is learnt from that."""
