"""The HTTP service: ``posewright serve MODEL...``. Needs the extra ``serve`` (FastAPI, uvicorn, prometheus-client).

``limits`` says what is refused, ``asked`` reads a request, ``batches`` joins the crops of several requests, ``core`` leads a
request through all that, ``app`` is the HTTP around it and ``run`` the process.
"""
