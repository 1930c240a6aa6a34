"""cxsdk"""
