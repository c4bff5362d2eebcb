"""U-Net: the pyramid's levels joined one by one, from the coarsest up to the image's own size."""
