"""From labelled pictures to a trained net, on Lightning's Trainer."""
