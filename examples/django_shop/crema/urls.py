"""
All pages of the shop, the admin, and the endpoint at which customers answer.
"""

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path
from shop import members, shopping, support

urlpatterns = [
    path("", shopping.shelf, name="shelf"),
    path("products/<slug:slug>", shopping.product, name="product"),
    path("cart", shopping.look, name="cart"),
    path("cart/put", shopping.put, name="put"),
    path("cart/empty", shopping.empty, name="empty"),
    path("checkout", shopping.checkout, name="checkout"),
    path("thanks/<int:pk>", shopping.thanks, name="thanks"),
    path("orders", shopping.orders, name="orders"),
    path("orders/<int:pk>/arrived", shopping.arrived, name="arrived"),
    path("support", support.chat, name="support"),
    path("consent", members.consent, name="consent"),
    path("register", members.Register.as_view(), name="register"),
    path("login", LoginView.as_view(), name="login"),
    path("logout", LogoutView.as_view(), name="logout"),
    path("admin/", admin.site.urls),
    path("cx/", include("cxsdk.integrations.django.urls")),
]
