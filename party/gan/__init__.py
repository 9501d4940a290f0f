"""A party's GANs: trained on its own rows, and paid to be unrecognisable among the parties of a plan."""
