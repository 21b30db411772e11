"""Reading, finding, following, drawing and writing at the same time: what `posewright predict` does with moving pictures.

:mod:`~posewright.live.overlap` has the two threads, :mod:`~posewright.live.work` what is done with the frames between
them, :mod:`~posewright.live.views` what is drawn. Without torch.
"""
